"""Invented rows in the columns of public data sets, for the mappings in docs/mappings."""

from tests.tools import ROOT

MAPPINGS = ROOT / "docs" / "mappings"
FILES = {
    "sparkov": """\
,trans_date_trans_time,cc_num,merchant,category,amt,first,last,gender,street,city,state,zip,lat,long,\
city_pop,job,dob,trans_num,unix_time,merch_lat,merch_long,is_fraud
0,2019-01-01 00:00:18,2703186189652095,"fraud_Rippin, Kub and Mann",misc_net,4.97,Ann,Bee,F,1 Road,\
Town,NC,28654,36.07,-81.17,3495,Painter,1988-03-09,0b242abb623afc578575680df30655b9,1325376018,36.01,\
-82.04,0
1,2019-01-01 00:00:44,630423337322,fraud_Heller,grocery_pos,107.23,Cy,Dee,F,2 Road,Town,WA,99160,\
48.88,-118.21,149,Tutor,1978-06-21,1f76529f8574734946361c461b024d99,1325376044,49.15,-118.18,1
""",
    "ibm": """\
User,Card,Year,Month,Day,Time,Amount,Use Chip,Merchant Name,Merchant City,Merchant State,Zip,MCC,\
Errors?,Is Fraud?
0,0,2012,9,1,06:21,$134.09,Swipe Transaction,3527213246127876953,La Verne,CA,91750.0,5300,,No
0,1,2012,9,1,06:42,$-99.00,Online Transaction,-727612092139916043,ONLINE,,,5411,,Yes
""",
    "amlsim": """\
tran_id,orig_acct,bene_acct,tx_type,base_amt,tran_timestamp,is_sar,alert_id
1,17,20,TRANSFER,581.45,2017-01-01T00:00:00Z,False,-1
2,17,20,TRANSFER,12.5,2017-01-01T00:00:00Z,True,7
""",
    "banksim": """\
step,customer,age,gender,zipcodeOri,merchant,zipMerchant,category,amount,fraud
0,'C1093826151','4','M','28007','M348934600','28007','es_transportation',4.55,0
1,'C352968107','2','M','28007','M348934600','28007','es_transportation',39.68,1
""",
    "handbook": """\
TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD
0,2018-04-01 00:00:31,596,3156,57.16,0
1,2018-04-01 00:02:10,4961,596,61.699999999999996,1
""",
}
